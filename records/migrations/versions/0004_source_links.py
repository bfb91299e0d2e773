"""source links"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0004'
down_revision: str | None = '0003'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        'source_links',
        sa.Column('digest', sa.Text(), nullable=False),
        sa.Column('upload_id', sa.Uuid(), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['upload_id'], ['uploads.id'], name=op.f('fk_source_links_upload_id_uploads'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('digest', name=op.f('pk_source_links')),
    )
    op.create_index(op.f('ix_source_links_upload_id'), 'source_links', ['upload_id'])
    op.create_index(op.f('ix_source_links_expires_at'), 'source_links', ['expires_at'])


def downgrade() -> None:
    op.drop_table('source_links')
