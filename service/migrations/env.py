"""Alembic's entry: one history over the tables of retrieval, the verticals and the service."""

from alembic import context

from service.storage import all_metadata, open_database

engine = open_database(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=all_metadata(), render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
