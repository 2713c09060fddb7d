"""The examples of `docs/runbook.md`: one for each part of a runbook, in which every field of it occurs."""

RUNBOOK = """\
runbook: shop-orders
title: Orders get a status
about: The status was guessed from two dates. It becomes a column of its own.

risk: {level: low, why: "One column is added; nothing reads it yet."}

targets:
  test: {database: embedded}
  staging: {database: $STAGING_DATABASE_URL}

inputs:
  first_status: {default: new, choices: [new, open]}

schedule: {zone: Europe/Rome, end_by: "23:00"}

budgets: {downtime: 5m}

environment: [SHOP_API_TOKEN]

people:
  lead: {name: Technical lead, roles: [technical_lead]}
  owner: {name: Project owner, roles: [project_owner]}

updates: {slack: "#migration", blockers: [technical_lead]}

sql: {statement_timeout: 10m}

backup: {recover_within: 15m}

rehearsal: {fresh_for: 3d}

baseline: [customers_untouched]

phases:
  - phase: migrate
    gate:
      go_if: [no_long_transactions]
      approve: {roles: [technical_lead, project_owner], quorum: 2}
    tasks:
      - task: column
        title: Add the column
        owner: technical_lead
        takes: 5m
        steps:
          - {sql: 010_status.sql.j2, undo: 010_status.undo.sql}
    verify: [every_order_has_a_status]
    watch: [order_latency]
    soak: 10m

checks:
  no_long_transactions: {sql: checks/long_transactions.sql, expect: "= 0"}
  every_order_has_a_status: {sql: checks/without_status.sql, expect: "= 0"}
  customers_untouched: {checksum: [customers], expect: unchanged}
  order_latency: {time: checks/one_order.sql, roll_back_if: "p50 > baseline + 50% in 3 of 5"}

rollback: {prove: [no_long_transactions]}

success: [{criterion: Every order has a status, check: every_order_has_a_status}]

monitor: {every: 10m, alerts: [{alert: nobody-ends, check: no_long_transactions, when: "> 0 in 3 of 3"}]}
"""
TARGETS = """\
targets:
  test:
    database: embedded            # gonogo's own PostgreSQL 18, in .gonogo/; `gonogo psql` looks into it
  staging:
    database: $STAGING_DATABASE_URL
    role: shop_owner
    direct: $STAGING_DIRECT_URL   # where PostgreSQL itself is: the other leads through a pooler
    rehearse_on: $SPARE_SERVER_URL   # copies are made there, not beside staging; or see `Copies`
  production:
    database: postgresql://deploy@db.example.com/shop
    environment: [SHOP_API_TOKEN] # must be set before anything runs here
    protected: true               # people decide, a backup is proved and the run rehearsed before anything changes
"""
INPUTS = """\
inputs:
  batch_name:
    type: text                    # no default: a launch must give it
    help: What the rows are marked with.
  share:
    default: 0.5
    min: 0
    max: 1
  plan:
    default: small
    choices: [small, large]
"""
SCHEDULE = """\
schedule:
  zone: Europe/Rome
  start: 2025-10-12T18:53
  end_by: "23:00"
  windows:
    - {days: [sun], opens: "18:00", closes: "23:00"}
  freezes:
    - {begins: 2025-12-15, ends: 2026-01-06, why: The end of the year}
  override: [project_owner]
  repeat: 0 3 * * *               # every night, once its schedule is switched on in the control room
"""
RISK = """\
risk:
  level: medium
  why: Every order is rewritten. The rollback is rehearsed, and nothing is dropped for four weeks.
"""
BUDGETS = """\
budgets:
  downtime: 30m                   # over all phases together
  rollback: 45m
"""
WINDOWS = """\
windows:
  - days: [tue, thu]
    opens: "20:00"
    closes: "23:30"
  - days: [sat]
    opens: "22:00"                # to 04:00 on Sunday
    closes: "04:00"
"""
FREEZES = """\
freezes:
  - begins: 2025-11-28T08:00
    ends: 2025-11-28T22:00
  - begins: 2025-12-15
    ends: 2026-01-06              # the whole of that day too
    why: The end of the year
"""
PEOPLE = """\
people:
  ana:
    name: The release manager
    roles: [release_manager, technical_lead]
    slack: U012ABCDEF
    key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzXcjGTVFwL5c3jnQxLPT4sV9e7FqHkqA1d2JmYw0oR ana@laptop
"""
UPDATES = """\
updates:
  slack: "#migration"
  email: release@example.com
  teams: release channel
  pagerduty: billing
  webhook: https://ops.example.com/hooks/gonogo
  progress: [10, 50, 90]
  blockers: [release_manager]
  escalate:
    - {after: 0m, to: [release_manager]}
    - {after: 30m, to: [technical_lead]}
  contacts: {database: dba, application: [developers], security: security_officer, business: project_owner}
"""
SQL = """\
sql:
  lock_patience: 10m
  ask_blockers: {after: 2m, then: hold}
  statement_timeout: 10m
  lock_timeout: 500ms             # for every script, instead of 100 ms and 2 s
  attempts: 20                    # of a deadlock, or a lost connection
  ask_rights: true                # at each gate, before anything changes
  search_path: app, public
"""
PHASE = """\
phases:
  - phase: expand
    title: Add what is new
    gate: {go_if: [no_long_transactions, replicas_are_near]}
    tasks:
      - task: columns
        steps: [{sql: 010_columns.sql, undo: 010_columns.undo.sql}]
    verify: [every_order_has_a_status]
    watch: [order_latency, failures]
    every: 5s
    would_trip: true              # the watch only tells what it would do
    soak: 10m
    confirm:                      # once the soak is over
      - {item: support-is-quiet, title: Support sees nothing unusual, owner: project_owner}
    on_failure: roll back
  - phase: contract
    at: T+28d                     # or a local date and time: 2025-11-09T20:00; launched before, it waits
    deferred: true                # only launched by its name: gonogo run shop-orders --phase contract
    gate:
      approve: {roles: [technical_lead, project_owner], quorum: 2}
    tasks:
      - task: drop-old
        steps: [{sql: 090_drop_old.sql, undo: 090_drop_old.undo.sql}]
    on_failure: hold
    on_cancel: roll back
"""
GATE = """\
gate:
  go_if: [no_long_transactions, replicas_are_near]
  confirm:
    - {item: support-knows, title: Support has read the plan, owner: project_owner}
  approve: {roles: [technical_lead, project_owner], quorum: 2, within: 2h}
  done_on: [staging]              # production waits until the very same was done there
"""
APPROVE = """\
approve:
  roles: [technical_lead, project_owner]
  quorum: 2                       # as many as there are roles: each of them must agree
  within: 2h
  not_launcher: true
  targets: protected              # on other targets nobody is asked
"""
ITEM = """\
confirm:
  - item: docs-reviewed
    title: The plan and the rollback are reviewed
    owner: technical_lead
    evidence: true                # whoever confirms it says what shows it
    targets: protected            # a rehearsal on a test database need not ask
  - item: support-knows
    title: Support has read the plan
"""
TASK = """\
tasks:
  - task: announce                # no steps: a row of the schedule
    title: Tell support
    about: They close the ticket queue.
    owner: release_manager
    takes: 15m
  - task: columns
    title: Add the columns
    owner: technical_lead
    concerns: database            # whose problem it is when it fails: see contacts of updates
    takes: 5m
    at: T+15m
    downtime: true                # the shop is closed while it lasts: counted against budgets.downtime
    steps:
      - {sql: 010_columns.sql, undo: 010_columns.undo.sql}
  - task: indexes
    after: [columns]
    steps:
      - {sql: 020_index.sql, undo: 020_index.undo.sql}
"""
STEP = """\
steps:
  - step: columns
    sql: [010_orders.sql.j2, 011_items.sql.j2]
    undo: [010_orders.undo.sql, 011_items.undo.sql]   # as many as sql has: each reverses its own
    lock_timeout: 500ms
    statement_timeout: 5m
  - migrations: {folder: db/migrations, since: "20260101120000"}
  - step: fill
    backfill: {table: orders, sql: 020_fill.sql.j2}
    undo: 020_fill.undo.sql
  - step: tags
    sql: 025_tags.sql
    undo: 025_tags.undo.sql                           # DROP TABLE order_tags
    rows: "> 0"                                       # a step that changes nothing is a mistake here
    journal: "SELECT count(*) FROM order_tags WHERE created_by <> 'migration'"
  - step: notes
    sql: 026_notes.sql
    undo: 026_notes.undo.sql                          # DROP TABLE order_notes
    keeps: every note is also written to orders.note
  - step: sample orders
    sql: 027_sample.sql
    undo: 027_sample.undo.sql
    only_on: [staging]                                # sample data has no place in production
  - step: the new worker
    run: {argv: [deploy, orders-worker, v2], environment: [DEPLOY_TOKEN]}
    undo: [deploy, orders-worker, v1]
    within: 5m
    again: safe                                       # deploying twice does no harm
    in_rehearsal: false
  - step: show the banner
    http: {method: PUT, url: "$FLAGS_URL/banner", headers: {Authorization: "Bearer $FLAGS_TOKEN"}, body: {on: true}}
    undo: {method: PUT, url: "$FLAGS_URL/banner", headers: {Authorization: "Bearer $FLAGS_TOKEN"}, body: {on: false}}
    again: safe
  - step: let it settle
    wait: 2m
  - step: drop the old table
    sql: 030_drop_old.sql
    no_return: true                                   # from here on only forward, or by restoring the backup
  - step: all of them
    check: [every_order_has_a_status]
  - step: look at it
    confirm:
      - {item: orders-look-right, title: Ten orders were looked at in the shop, owner: project_owner}
  - step: make the archive
    sql: 030_archive.sql                              # CREATE DATABASE archive
    undo: nothing
    done_if: "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'archive')"
  - step: move the archive
    sql: 040_move.sql                                 # ALTER DATABASE archive SET TABLESPACE slow_disks
    undo: 040_move.undo.sql
    again: safe
"""
MIGRATIONS = """\
migrations:
  folder: ../app
  tool: alembic
  command: [uv, run, alembic]
  since: 5d3700aa1c2e
  to: 8f12bc90de34
  record: true
"""
BACKFILL = """\
backfill:
  table: sales.orders
  sql: 020_fill.sql.j2            # UPDATE sales.orders SET status = 'new' WHERE {{ batch }} AND status IS NULL
  key: [customer_id, number]
  batch: 5000
  pace: {slows_others: 10%, goes_on_if: [replicas_are_near]}
"""
PACE = """\
pace:
  mode: guarded
  slows_others: 25%
  batch_takes: 50ms
  rest: 0s
  lag: 1s
  archive: 50
  waiting: 5
  vacuum_at: 20%
  goes_on_if: [replicas_are_near]
  every: 1s
"""
UNDO_BACKFILL = """\
undo:
  backfill: 020_unfill.sql.j2      # UPDATE sales.orders SET status = NULL WHERE {{ batch }} AND {{ unchanged }}
"""
CHECKS = """\
checks:
  failures:
    about: More than one call in ten fails.
    sql: checks/failures.sql      # SELECT share_of_failures, how_many_calls
    at_least: 50 calls
    expect: "= 0"
    roll_back_if: "> 10% in 2 of 3"
    concerns: application         # those whom updates.contacts names for that are mentioned, too
    then: hold                    # roll back is the default; tell only tells
    no_data: ignore
    within: 20s
  order_latency:
    about: An order is placed in 200 ms; 50 % slower than before rolls the run back.
    time: checks/one_order.sql    # it inserts: each call is rolled back
    writes: true
    samples: 40
    warm_up: 5
    within: 3s
    expect: ["p95 <= 200 ms", "p95 <= baseline + 10%"]
    roll_back_if: "p50 > baseline + 50% in 3 of 5"
  no_order_lost:
    rows: [orders, order_items]
    expect: unchanged
  customers_untouched:
    checksum: [customers]
    within: 2m
    expect: unchanged
  no_price_is_missing: {query: "SELECT count(*) FROM products WHERE price IS NULL", expect: "= 0"}
  replicas_are_near: {activity: replication_lag, expect: "<= 5", only_on: [production]}   # nowhere else are there any
  books_balance:
    about: What the orders add up to is what was paid.
    equal: ["SELECT sum(total) FROM orders", "SELECT sum(amount) FROM payments"]
    expect: "= 0"
  no_orphans: {orphans: all, within: 1m, expect: "= 0"}
  emails_are_good: {values: {table: customers, columns: email, null: false, unique: true}, expect: "= 0"}
  nothing_half_done: {sound: [constraints, indexes, sequences], expect: "= 0"}
  new_tables_are_there: {objects: {exist: ["table public.shipments"]}, expect: "= 0"}
  grants_as_before: {structure: {only: [grants, policies, triggers]}, expect: "= 0"}
  keys_can_join: {same_type: [[orders.customer_id, customers.id]], expect: "= 0"}
  tenants_are_apart:
    query: SELECT count(*) FROM orders
    role: shop_app
    settings: {app.tenant: "7"}
    expect: "= 2673"
  one_order_touches: {buffers: checks/one_order.sql, expect: ["<= baseline + 20%", unchanged]}
  busiest_statements: {statements: 10, expect: "<= 1.2"}
  plans_as_before: {plans: 5, expect: "= 0"}
  orders_are_taken: {calls: checks/take_order.sql, writes: true, samples: 100, roll_back_if: "> 10% in 2 of 3"}
  enough_orders: {throughput: {script: checks/order_mix.sql, clients: 4, lasts: 10s}, expect: ">= 1000"}
  nobody_waits: {activity: blocked, expect: "= 0", roll_back_if: "> 5 in 3 of 3"}
  no_long_queries: {activity: long_queries, older_than: 10m, expect: "= 0"}
  shop_answers: {http: "https://shop.example/health", samples: 5, expect: ["p95 < 500 ms", "errors = 0"]}
  error_share: {prometheus: {url: $PROMETHEUS_URL, query: 'rate(shop_errors[1m])'}, expect: "< 1%"}
  contract_tests: {run: [npm, run, "test:contracts"], within: 10m, expect: "= 0"}
  margin: {own: margin, given: {price: 3}, expect: ">= 82%"}
"""
REFERENCES = """\
orphans:
  - {child: orders.customer_id, parent: customers.id}     # a key that the schema lacks
"""
VALUES = """\
values:
  table: billing.invoices
  columns: [number, country]
  null: false
  unique: true
  min: 1
  max: 999999
  one_of: [IT, DE, FR]
"""
OBJECTS = """\
objects:
  exist: ["table public.orders", "index public.orders_customer", "function public.total(integer)"]
  absent: ["table public.orders_old"]
"""
STRUCTURE = """\
structure:
  only: [tables, columns, constraints]
  like: checks/expected.json      # written by: gonogo objects shop-orders --output sql_templates/shop-orders/checks/expected.json
"""
THROUGHPUT = """\
throughput:
  script: checks/order_mix.sql    # as pgbench reads it
  clients: 4
  lasts: 10s
"""
HTTP = """\
http:
  url: $SHOP_URL/health
  method: GET
  headers: {authorization: Bearer $SHOP_TOKEN}
  body: null
  status: [200, 204]
  field: database.status
  equals: healthy
"""
PROMETHEUS = """\
prometheus:
  url: $PROMETHEUS_URL
  query: 'sum(rate(http_requests_total{status=~"5.."}[1m])) / sum(rate(http_requests_total[1m]))'
"""
RUN = """\
run:
  argv: [k6, run, --summary-export, /dev/stdout, "load/{{ stage }}.js"]
  environment: [K6_TOKEN]
  inputs_in_code: false                    # whether a template may stand in program text such as that of `sh -c`
  url_as: DATABASE_URL                     # where it reads the address of its database
  folder: tests
  field: metrics.http_req_duration.p95     # of its JSON
  pattern: "p95=([0-9.]+)"                 # or where its output is text
"""
LEVELS = """\
escalate:
  - {after: 0m, to: [lead]}
  - {after: 30m, to: [technical_lead]}
  - {after: 1h, to: [project_owner]}
"""
MONITOR = """\
monitor:
  every: 5m
  alerts:
    - {alert: too-many-connections, check: connections, when: "> 80% in 2 of 3", to: [technical_lead], channel: "#devops"}
    - {alert: nobody-buys, check: orders_of_the_hour, when: "< 5", channel: "#marketing"}
"""
ALERTS = """\
alerts:
  - alert: webhooks-fail
    check: webhook_errors
    when: "> 10"                  # eleven raise it, ten do not
    to: [project_owner]
    channel: "#finance"
"""
SUCCESS = """\
success:
  - {criterion: Every order has a status, check: every_order_has_a_status}
  - {criterion: Support sees nothing unusual, item: support-is-quiet, sort: business}
  - {criterion: The shop was closed for 5 minutes at most, budget: downtime, sort: business}
"""
BACKUP = """\
backup:
  tables: [orders, customers]     # the rows of these; without `tables` and `schemas`, of the whole database
  schemas: [billing]              # and of all tables in this schema
  recover_within: 15m             # where restoring it takes longer, the gate is no-go
  each_phase: true                # every phase takes one of its own, so that it can be restored by itself
  after: true                     # and another one when all is done
  keep: 90d
  waived: ""                      # or why there is none: the provider takes snapshots every hour
  targets: protected
```

Or something else makes it:

```yaml
backup:
  command: {take: [ops/snapshot, take], prove: [ops/snapshot, open]}   # your own programs
  sample: {rows: 5000}
```

```yaml
backup:
  pgbackrest: {stanza: main, side: /var/lib/postgresql/beside}
"""
PROGRAMS = """\
command:
  take: {argv: [ops/snapshot, take], environment: [AWS_PROFILE, AWS_REGION]}
  wait: {argv: [ops/snapshot, wait], environment: [AWS_PROFILE, AWS_REGION]}
  prove: {argv: [ops/snapshot, open], environment: [AWS_PROFILE, AWS_REGION]}
  drop: {argv: [ops/snapshot, close], environment: [AWS_PROFILE, AWS_REGION]}
  restore: {argv: [ops/snapshot, restore], environment: [AWS_PROFILE, AWS_REGION]}
  delete: {argv: [ops/snapshot, delete], environment: [AWS_PROFILE, AWS_REGION]}
  within: 6h
"""
PGBACKREST = """\
pgbackrest:
  stanza: main
  type: diff
  run_as: [sudo, -n, -u, postgres]          # the account that owns the server's files
  options: [--config=/etc/pgbackrest/pgbackrest.conf]
  side: /var/lib/postgresql/beside          # room for the whole server
  data: /var/lib/postgresql/15/main         # where the level `restore` puts it
  stop: [sudo, -n, systemctl, stop, postgresql@15-main]
  start: [sudo, -n, systemctl, start, postgresql@15-main]
  within: 12h
"""
SAMPLE = """\
sample:
  rows: 5000                # of each table that is too large to be compared whole
  whole_up_to: 10240        # megabytes
"""
COPIES = """\
rehearse_on:
  ready: $CLONE_URL         # somebody's clone, branch or opened snapshot
  as_of: SELECT max(placed_at) FROM orders
  in_place: true            # it is for nothing else: the rehearsal may work in it
```

```yaml
rehearse_on:
  make: {argv: [ops/clone, make], environment: [CLONE_TOKEN]}
  drop: {argv: [ops/clone, drop], environment: [CLONE_TOKEN]}
  within: 30m
```

```yaml
rehearse_on:
  files: true               # a copy of the target's files, on its own server
"""
REHEARSAL = """\
rehearsal:
  fresh_for: 3d
  each_step: true
  blind_spots: "<= 2"             # what of the change no check would notice
  accepted_spots: {public.orders.note: nothing reads it}
  waived: ""                      # or why there is none: it only adds an index
  targets: protected
"""
ROLLBACK = """\
rollback:
  levels: [feature, undo, data, restore]    # a trip takes the first one that the rehearsal proved
  feature: {sql: off.sql, prove: [nobody_uses_it]}
  data: {sql: put_back.sql, prove: [rows_are_back]}
  reach: phase                              # a trip rolls back the phase that is under way, not the weeks before it
  takes: 45m
  authority: {roles: [technical_lead, project_owner], within: 1h}   # one of them agrees
  prove: [failures, customers_untouched]
"""
SWITCH = """\
feature:
  sql: [off.sql.j2, tell_workers.sql]
  prove: [nobody_uses_it]
  keeps: {feature_flags: it is a switch}
"""
