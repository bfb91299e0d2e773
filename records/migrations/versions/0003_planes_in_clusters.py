"""planes in clusters"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0003'
down_revision: str | None = '0002'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

OLD_FLAVOURS = ('pg', 'inmem')
NEW_FLAVOURS = (*OLD_FLAVOURS, 'image')


def upgrade() -> None:
    op.add_column('deployments', sa.Column('purge', sa.Boolean(), server_default=sa.false(), nullable=False))
    for table in ('deployments', 'revisions'):
        op.drop_constraint(op.f(f'ck_{table}_flavour'), table, type_='check')
        op.create_check_constraint(op.f(f'ck_{table}_flavour'), table, _among('flavour', NEW_FLAVOURS))
    op.create_table(
        'upload_parts',
        sa.Column('upload_id', sa.Uuid(), nullable=False),
        sa.Column('position', sa.Integer(), nullable=False),
        sa.Column('sealed', sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(['upload_id'], ['uploads.id'], name=op.f('fk_upload_parts_upload_id_uploads'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('upload_id', 'position', name=op.f('pk_upload_parts')),
    )
    # What is sealed does not get smaller.
    op.execute(sa.text('ALTER TABLE upload_parts ALTER COLUMN sealed SET STORAGE EXTERNAL'))


def downgrade() -> None:
    op.drop_table('upload_parts')
    for table in ('deployments', 'revisions'):
        op.drop_constraint(op.f(f'ck_{table}_flavour'), table, type_='check')
        op.create_check_constraint(op.f(f'ck_{table}_flavour'), table, _among('flavour', OLD_FLAVOURS))
    op.drop_column('deployments', 'purge')


def _among(column: str, words: Sequence[str]) -> str:
    return f'{column} IN (' + ', '.join(f"'{word}'" for word in words) + ')'
