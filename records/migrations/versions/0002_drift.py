"""drift"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0002'
down_revision: str | None = '0001'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FIRST_KINDS = (
    'deployment.created',
    'deployment.changed',
    'deployment.status',
    'revision.created',
    'revision.status',
    'revision.interrupt',
    'image.recorded',
    'serving',
    'retired',
)
NEW_KINDS = ('drift.found', 'drift.repaired', 'drift.gone', 'drift.state')
POLICIES = ('repair', 'report', 'paused')
STATES = ('steady', 'repairing', 'backing off', 'given up', 'reported', 'paused')


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        'planes',
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('kind', sa.Text(), nullable=False),
        sa.Column('version', sa.Text(), nullable=False),
        sa.Column('seen_at', moment, nullable=False),
        sa.Column('offline_since', moment, nullable=True),
        sa.Column('swept_at', moment, nullable=True),
        sa.Column('swept', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_planes')),
    )
    op.create_table(
        'orphans',
        sa.Column('id', sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column('plane', sa.Text(), nullable=False),
        sa.Column('kind', sa.Enum('database', 'role', 'redis', 'route', 'process', name='kind', native_enum=False, create_constraint=True, length=32), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('short', sa.String(length=8), nullable=False),
        sa.Column('holds_data', sa.Boolean(), nullable=False),
        sa.Column('known', sa.Boolean(), nullable=False),
        sa.Column('first_seen', moment, nullable=False),
        sa.Column('last_seen', moment, nullable=False),
        sa.Column('removed_at', moment, nullable=True),
        sa.Column('asked_at', moment, nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_orphans')),
        sa.UniqueConstraint('plane', 'kind', 'name', name=op.f('uq_orphans_plane_kind_name')),
    )
    op.create_index('ix_orphans_open', 'orphans', ['plane', 'short'], unique=False, postgresql_where='removed_at IS NULL')
    op.create_table(
        'drifts',
        sa.Column('id', sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column('deployment_id', sa.Uuid(), nullable=False),
        sa.Column('plane', sa.Text(), nullable=False),
        sa.Column('number', sa.Integer(), nullable=False),
        sa.Column('field', sa.Enum('process', 'answer', 'work', 'image', 'environment', 'extra', 'route', 'link', 'bundle', 'database', 'role', 'password', 'grants', 'connections', 'extension', 'redis', 'redis password', 'persistence', name='field', native_enum=False, create_constraint=True, length=32), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('wanted', sa.Text(), nullable=False),
        sa.Column('seen', sa.Text(), nullable=False),
        sa.Column('severity', sa.Enum('down', 'degraded', 'latent', name='severity', native_enum=False, create_constraint=True, length=32), nullable=False),
        sa.Column('past', sa.Boolean(), nullable=False),
        sa.Column('code', sa.Text(), nullable=True),
        sa.Column('evidence', sa.Text(), nullable=False),
        sa.Column('found_by', sa.Enum('watch', 'sweep', 'person', 'workflow', name='found_by', native_enum=False, create_constraint=True, length=32), nullable=False),
        sa.Column('since', moment, nullable=True),
        sa.Column('noticed_at', moment, nullable=False),
        sa.Column('found_at', moment, nullable=False),
        sa.Column('treated_at', moment, nullable=True),
        sa.Column('treatment', sa.Text(), nullable=False),
        sa.Column('rounds', sa.Integer(), nullable=False),
        sa.Column('closed_at', moment, nullable=True),
        sa.Column('outcome', sa.Enum('repaired', 'gone', name='outcome', native_enum=False, create_constraint=True, length=32), nullable=True),
        sa.ForeignKeyConstraint(['deployment_id'], ['deployments.id'], name=op.f('fk_drifts_deployment_id_deployments'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_drifts')),
    )
    op.create_index('uq_drifts_open', 'drifts', ['deployment_id', 'field', 'name'], unique=True, postgresql_where='closed_at IS NULL')
    op.create_index('uq_drifts_past', 'drifts', ['deployment_id', 'field', 'name', 'since'], unique=True, postgresql_where='past')
    op.create_index(op.f('ix_drifts_deployment_id_id'), 'drifts', ['deployment_id', 'id'], unique=False)
    op.create_index(op.f('ix_drifts_plane_found_at'), 'drifts', ['plane', 'found_at'], unique=False)
    op.create_index(op.f('ix_drifts_plane_closed_at'), 'drifts', ['plane', 'closed_at'], unique=False)
    # Nothing reads as steady and to be repaired: what a deployment of the first release was all along.
    op.add_column('deployments', sa.Column('policy', sa.String(length=32), server_default='repair', nullable=False))
    op.add_column('deployments', sa.Column('drift_state', sa.String(length=32), server_default='steady', nullable=False))
    op.add_column('deployments', sa.Column('drift_why', sa.Text(), server_default='', nullable=False))
    for name in ('drift_since', 'drift_next_try_at', 'drift_looked_at'):
        op.add_column('deployments', sa.Column(name, moment, nullable=True))
    op.create_check_constraint(op.f('ck_deployments_policy'), 'deployments', _among('policy', POLICIES))
    op.create_check_constraint(op.f('ck_deployments_drift_state'), 'deployments', _among('drift_state', STATES))
    op.drop_constraint(op.f('ck_events_kind'), 'events', type_='check')
    op.create_check_constraint(op.f('ck_events_kind'), 'events', _among('kind', FIRST_KINDS + NEW_KINDS))


def downgrade() -> None:
    op.execute(sa.text('DELETE FROM events WHERE ' + _among('kind', NEW_KINDS)))
    op.drop_constraint(op.f('ck_events_kind'), 'events', type_='check')
    op.create_check_constraint(op.f('ck_events_kind'), 'events', _among('kind', FIRST_KINDS))
    for name in ('drift_looked_at', 'drift_next_try_at', 'drift_since', 'drift_why', 'drift_state', 'policy'):
        op.drop_column('deployments', name)
    op.drop_table('drifts')
    op.drop_table('orphans')
    op.drop_table('planes')


def _among(column: str, words: Sequence[str]) -> str:
    return f'{column} IN (' + ', '.join(f"'{word}'" for word in words) + ')'
