"""What is on record: what is wanted, and what became of it. The only truth; workflows are told to look at it.

One noun a file, the table and the questions asked of it; every function takes a session and none commits.
Whoever opens the session opens the transaction (`async with sessions.begin() as session`), then nudges.

- `session`        `connect(database_url) -> AsyncEngine`, `sessions(engine) -> async_sessionmaker`
- `migrations`     `upgrade(database_url)`: sync, may run at once from several processes
- `workspace`      `get`, `named(session, name)` (made when missing)
- `key`            `mint() -> str`, `enter(session, workspace_id, name, secret)`, `find(session, secret)`,
                   `listed`, `revoke`
- `specification`  `Environment` (a sealed map and what was read from it while open), `Change`
- `deployment`     `fresh_id` -> `create(...)`, `get`, `page(session, workspace_id, Filter(...), limit=)`,
                   `patch`, `mark_deleted`, `by_short`, `counts`; errors `NameTaken`, `Deleted`
- `wish`           `add(session, deployment_id, Change(...))`, `redeploy`, `interrupt` -> `Revision`; errors
                   `Unknown`, `deployment.Deleted`
- `revision`       `get`, `newest`, `page(..., statuses=)`, `by_number`, `counts`; for the control side
                   `hold`, then `advance`, `end`, `claim`
- `upload`         `issue(session, deployment_id, expires_at)`, `store(session, upload_id, size=, sha256=)`,
                   `get`, `find(session, deployment_id, object_path)`, `without_row`; error `AlreadyStored`
- `event`          `listed(session, deployment_id, after=, limit=, newest_first=)`
- `line`           `insert_lines(session, deployment_id, lines)` of `NewLine`, `page(session, deployment_id,
                   Wanted(...))`
- `listener`       `get`, `page`
- `image`          images and builds; `collect` decides what a plane keeps
- `inventory`      everything ever provisioned: `enter`, `mark_gone`, `listed`, `present`
- `settle`         `intent(session, deployment_id)`: what workflows act on
- `waiting`        `overdue`: wishes that nobody acted on; `under_way`: rollouts somebody should be at work on
- `drift`          `account(session, Account(...))` by the workflow; `open_of`, `recent`, `score(session, since,
                   deployment_id=, plane=, workspace_id=)`, `set_policy`, `counts`; `forget` by the sweep
- `difference`     the rows of drift; `look` brings an account into them, `standing` is what it leaves on the
                   deployment
- `survey`         `judge(session, SurveyPage(...), grace)`: a plane's page against the records; `telling` puts
                   what differs in words
- `orphan`         `listed(session, plane)`, `ask_removal(session, plane, orphan_id)`, `counts`
- `plane`          `beat(session, Beat(...))`, `named`, `all_of`, `mark_offline(session, silent_since)`, `swept`

A deployment carries the values its next revision starts from (`source_config`, `source_revision_config`,
`environment`, `secret_references`, `tracked_packages`), so an answer about it needs no other table. Names of
deployments are free again at `mark_deleted`; the row answers until the removal is done.
"""
