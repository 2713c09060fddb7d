"""What a fingerprint is told by hand: what it does not compare, with the reason, and what catalogs do not say of themselves.

Everything else in the system catalogs is compared, without being named anywhere: see `gonogo.postgres.catalogs`.
"""

from __future__ import annotations

from collections.abc import Mapping

_STATISTICS = "what ANALYZE or VACUUM saw"
_PLACE = "where it lies on disk"
_AGES = "moves on without anybody changing anything"
_KEPT_LAZILY = "a hint that VACUUM sets right some time later"
_FOLLOWS = "follows from other columns"
_IN_DEFINITION = "part of the definition that the server writes"
_IS_DATA = "data, not schema: snapshots compare it"

#: catalogs that are not compared, with the reason
CATALOGS: Mapping[str, str] = {
    "pg_statistic": _STATISTICS,
    "pg_statistic_ext_data": _STATISTICS,
    "pg_shdepend": "follows from owners, grants and policies",
    "pg_init_privs": "the grants that pg_dump starts from",
    "pg_subscription_rel": "how far a subscription has come",
    "pg_largeobject": _IS_DATA,
    "pg_largeobject_metadata": _IS_DATA,
}

#: columns that are not compared, with the reason
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "pg_class": {
        "relfilenode": _PLACE,
        "relpages": _STATISTICS,
        "reltuples": _STATISTICS,
        "relallvisible": _STATISTICS,
        "relallfrozen": _STATISTICS,
        "relfrozenxid": _AGES,
        "relminmxid": _AGES,
        "relrewrite": _AGES,
        "relhasindex": _KEPT_LAZILY,
        "relhasrules": _KEPT_LAZILY,
        "relhastriggers": _KEPT_LAZILY,
        "relhassubclass": _KEPT_LAZILY,
        "relnatts": "counts the columns that were dropped, too",
        "relchecks": _FOLLOWS,
        "reltype": _FOLLOWS,
    },
    "pg_attribute": {
        "attnum": "snapshots tell the order of a table's columns apart; that of a composite type is compared",
        "atttypmod": "part of the type as the server writes it",
        "attcacheoff": _AGES,
        "atthasmissing": _PLACE,
        "attmissingval": _PLACE,
        "atthasdef": _FOLLOWS,
        "attlen": _FOLLOWS,
        "attbyval": _FOLLOWS,
        "attalign": _FOLLOWS,
        "attndims": "means nothing to the server, and pg_dump does not keep it",
    },
    "pg_attrdef": {"adnum": _FOLLOWS, "adrelid": _FOLLOWS},
    "pg_constraint": {
        "conkey": _IN_DEFINITION,
        "confkey": _IN_DEFINITION,
        "confupdtype": _IN_DEFINITION,
        "confdeltype": _IN_DEFINITION,
        "confmatchtype": _IN_DEFINITION,
        "confdelsetcols": _IN_DEFINITION,
        "condeferrable": _IN_DEFINITION,
        "condeferred": _IN_DEFINITION,
        "conbin": _IN_DEFINITION,
        "conexclop": _IN_DEFINITION,
        "conpfeqop": "follows from the types and the index",
        "conppeqop": "follows from the types and the index",
        "conffeqop": "follows from the types and the index",
        "connamespace": _FOLLOWS,
        "conname": "part of its name; of a NOT NULL, what ends in _not_null counts as made by the server",
        "connoinherit": "means something for CHECK and NOT NULL only, where it is compared",
    },
    "pg_index": {
        "indcheckxmin": _AGES,
        "indkey": _IN_DEFINITION,
        "indnatts": _IN_DEFINITION,
        "indnkeyatts": _IN_DEFINITION,
        "indclass": _IN_DEFINITION,
        "indcollation": _IN_DEFINITION,
        "indoption": _IN_DEFINITION,
        "indexprs": _IN_DEFINITION,
        "indpred": _IN_DEFINITION,
        "indrelid": _IN_DEFINITION,
        "indisunique": _IN_DEFINITION,
        "indnullsnotdistinct": _IN_DEFINITION,
    },
    "pg_rewrite": {
        "ev_qual": _IN_DEFINITION,
        "ev_type": _IN_DEFINITION,
        "is_instead": _IN_DEFINITION,
    },
    "pg_trigger": {
        "tgname": "part of its name; that of a foreign key's trigger is a number",
        "tgargs": _IN_DEFINITION,
        "tgattr": _IN_DEFINITION,
        "tgnargs": _IN_DEFINITION,
        "tgqual": _IN_DEFINITION,
        "tgoldtable": _IN_DEFINITION,
        "tgnewtable": _IN_DEFINITION,
    },
    "pg_type": {
        "typarray": "made by the server with the type",
        "typdefault": "its expression is compared",
        "typrelid": _FOLLOWS,
        "typtypmod": "part of the base type as the server writes it",
    },
    "pg_collation": {"collencoding": "pg_dump does not keep that of a collation that was copied"},
    "pg_enum": {"enumsortorder": "compared as the rank of the label"},
    "pg_database": {
        "datname": "it is the database that is asked",
        "datfrozenxid": _AGES,
        "datminmxid": _AGES,
        "datlastsysoid": _AGES,
        "dathasloginevt": _KEPT_LAZILY,
    },
    "pg_authid": {"rolpassword": "a secret: nothing of it is read"},
    "pg_user_mapping": {"umoptions": "may hold a password: only its digest is compared"},
    "pg_foreign_server": {"srvoptions": "may hold a password: only its digest is compared"},
    "pg_subscription": {
        "subconninfo": "may hold a password: only its digest is compared",
        "subskiplsn": _AGES,
    },
    "pg_replication_origin": {"roident": "a number handed out by the server"},
}

#: what a bare column does not say, and a function of the server does: a tree, a type with its length. `{r}` is the row
WRITTEN: Mapping[str, str] = {
    "pg_attrdef.adbin": "pg_get_expr({r}.adbin, {r}.adrelid)",
    "pg_attribute.attnum": "(SELECT count(*) FROM pg_attribute o JOIN pg_class c ON c.oid = o.attrelid AND c.relkind = 'c' WHERE"
    " o.attrelid = {r}.attrelid AND o.attnum BETWEEN 1 AND {r}.attnum AND NOT o.attisdropped)",
    "pg_attribute.atttypid": "format_type({r}.atttypid, {r}.atttypmod)",
    "pg_attribute.attcollation": "nullif({r}.attcollation, (SELECT typcollation FROM pg_type WHERE oid ="
    " {r}.atttypid))::regcollation",
    "pg_attribute.attstorage": "CASE WHEN {r}.attstorage <> (SELECT typstorage FROM pg_type WHERE oid = {r}.atttypid) THEN"
    " {r}.attstorage END",
    # PostgreSQL 15.20 marks each column with when it was made, which a dump and what undoes a change make again
    "pg_attribute.attoptions": "(SELECT string_agg(o, ', ' ORDER BY o) FROM unnest({r}.attoptions) o WHERE o !~ '^pg_attver=')",
    # -1 says the same in older versions as nothing does in newer ones
    "pg_attribute.attstattarget": "nullif({r}.attstattarget, -1)",
    "pg_statistic_ext.stxstattarget": "nullif({r}.stxstattarget, -1)",
    "pg_class.relreplident": "nullif({r}.relreplident, CASE WHEN {r}.relkind IN ('r', 'p', 'm') THEN 'd' ELSE 'n' END)",
    "pg_class.relpartbound": "pg_get_expr({r}.relpartbound, {r}.oid)",
    "pg_class.reltoastrelid": "(SELECT string_agg(o, ', ' ORDER BY o) FROM pg_class t, unnest(t.reloptions) o WHERE t.oid ="
    " {r}.reltoastrelid)",
    "pg_constraint.contype": "pg_get_constraintdef({r}.oid)",
    "pg_index.indkey": "pg_get_indexdef({r}.indexrelid)",
    "pg_partitioned_table.partexprs": "pg_get_expr({r}.partexprs, {r}.partrelid)",
    "pg_policy.polqual": "pg_get_expr({r}.polqual, {r}.polrelid)",
    "pg_policy.polwithcheck": "pg_get_expr({r}.polwithcheck, {r}.polrelid)",
    "pg_proc.proargdefaults": "pg_get_expr({r}.proargdefaults, 0)",
    "pg_proc.prosqlbody": "CASE WHEN {r}.prosqlbody IS NOT NULL THEN pg_get_function_sqlbody({r}.oid) END",
    "pg_publication_rel.prqual": "pg_get_expr({r}.prqual, {r}.prrelid)",
    "pg_rewrite.ev_action": "CASE WHEN {r}.rulename = '_RETURN' THEN pg_get_viewdef({r}.ev_class) ELSE"
    " pg_get_ruledef({r}.oid) END",
    "pg_statistic_ext.stxexprs": "pg_get_expr({r}.stxexprs, {r}.stxrelid)",
    "pg_trigger.tgtype": "CASE WHEN NOT {r}.tgisinternal THEN pg_get_triggerdef({r}.oid) END",
    "pg_trigger.tgparentid": "CASE WHEN NOT {r}.tgisinternal AND {r}.tgparentid <> 0 THEN coalesce((SELECT identity FROM"
    " pg_identify_object('pg_trigger'::regclass, {r}.tgparentid, 0)), {r}.tgparentid::text) END",
    "pg_type.typbasetype": "CASE WHEN {r}.typtype = 'd' THEN format_type({r}.typbasetype, {r}.typtypmod) END",
    "pg_type.typdefaultbin": "pg_get_expr({r}.typdefaultbin, 0)",
    # of the constraint of an index it says nothing, and pg_dump does not keep it
    "pg_constraint.connoinherit": "CASE WHEN {r}.contype IN ('c', 'n') AND {r}.connoinherit THEN 'yes' END",
    # the name of a NOT NULL that nobody named is made of others' names, and stays when they change
    "pg_constraint.conname": "CASE WHEN {r}.contype = 'n' AND {r}.conname !~ '_not_null[0-9]*$' THEN {r}.conname END",
    "pg_user_mapping.umoptions": "(SELECT md5(string_agg(o, ' ' ORDER BY o)) FROM unnest({r}.umoptions) o)",
    "pg_foreign_server.srvoptions": "(SELECT md5(string_agg(o, ' ' ORDER BY o)) FROM unnest({r}.srvoptions) o)",
    "pg_subscription.subconninfo": "md5({r}.subconninfo)",
    "pg_enum.enumlabel": "format('%s: %s', (SELECT count(*) FROM pg_enum e WHERE e.enumtypid = {r}.enumtypid AND e.enumsortorder"
    " <= {r}.enumsortorder), {r}.enumlabel)",
}

#: how an object is called, where `pg_identify_object` would say it in other words than a runbook does. `{r}` is the row
NAMES: Mapping[str, str] = {
    "pg_namespace": "'schema ' || {r}.oid::regnamespace",
    "pg_class": "CASE {r}.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN"
    " 'view' WHEN 'f' THEN"
    " 'foreign table' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'composite type' ELSE"
    " 'relation' END || ' ' || {r}.oid::regclass",
    "pg_attribute": "'column ' || {r}.attrelid::regclass || '.' || (SELECT CASE WHEN c.relkind IN ('i', 'I') THEN"
    " {r}.attnum::text ELSE"
    " quote_ident({r}.attname) END FROM pg_class c WHERE c.oid = {r}.attrelid)",
    "pg_attrdef": "'column ' || {r}.adrelid::regclass || '.' || (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid ="
    " {r}.adrelid AND attnum = {r}.adnum)",
    # from 18 on NOT NULL has a name too, which nobody chose and which renaming the column leaves as it was: its column names it
    "pg_constraint": "CASE WHEN {r}.contype = 'n' AND {r}.conrelid <> 0 THEN 'constraint ' || {r}.conrelid::regclass"
    " || ' NOT NULL ' ||"
    " (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = {r}.conrelid AND attnum = {r}.conkey[1])"
    " WHEN {r}.conrelid <> 0 THEN 'constraint ' || {r}.conrelid::regclass || ' ' || quote_ident({r}.conname)"
    " ELSE 'constraint ' || {r}.contypid::regtype || ' ' || quote_ident({r}.conname) END",
    "pg_proc": "CASE {r}.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END || ' ' ||"
    " {r}.pronamespace::regnamespace || '.' || quote_ident({r}.proname) || '(' ||"
    " pg_get_function_identity_arguments({r}.oid) || ')'",
    # what enforces a foreign key belongs to it
    "pg_trigger": "CASE WHEN {r}.tgisinternal AND {r}.tgconstraint <> 0 THEN (SELECT 'constraint ' ||"
    " k.conrelid::regclass || ' ' ||"
    " quote_ident(k.conname) FROM pg_constraint k WHERE k.oid = {r}.tgconstraint)"
    " ELSE 'trigger ' || {r}.tgrelid::regclass || ' ' || quote_ident({r}.tgname) END",
    "pg_rewrite": "CASE WHEN {r}.rulename = '_RETURN' THEN 'view' ELSE 'rule' END || ' ' || {r}.ev_class::regclass ||"
    " CASE WHEN {r}.rulename = '_RETURN' THEN '' ELSE ' ' || quote_ident({r}.rulename) END",
    "pg_policy": "'policy ' || {r}.polrelid::regclass || ' ' || quote_ident({r}.polname)",
    "pg_type": "'type ' || {r}.oid::regtype",
    "pg_enum": "'type ' || {r}.enumtypid::regtype",
    "pg_extension": "'extension ' || quote_ident({r}.extname)",
    "pg_event_trigger": "'event trigger ' || quote_ident({r}.evtname)",
    "pg_statistic_ext": "'statistics ' || {r}.stxnamespace::regnamespace || '.' || quote_ident({r}.stxname)",
    "pg_publication": "'publication ' || quote_ident({r}.pubname)",
    "pg_subscription": "'subscription ' || quote_ident({r}.subname)",
    "pg_operator": "'operator ' || {r}.oid::regoperator",
    "pg_collation": "'collation ' || {r}.oid::regcollation",
    "pg_ts_config": "'text search configuration ' || {r}.oid::regconfig",
    "pg_cast": "'cast from ' || {r}.castsource::regtype || ' to ' || {r}.casttarget::regtype",
    "pg_foreign_server": "'foreign server ' || quote_ident({r}.srvname)",
    "pg_default_acl": "'default privileges of ' || {r}.defaclrole::regrole || coalesce(' in ' ||"
    " nullif({r}.defaclnamespace, 0)::regnamespace, '') || ' on ' || {r}.defaclobjtype::text",
    "pg_database": "'the database'",
    "pg_db_role_setting": "'setting of ' || coalesce(nullif({r}.setrole, 0)::regrole::text, 'everyone')",
    "pg_authid": "'role ' || {r}.oid::regrole",
    "pg_auth_members": "'membership of ' || {r}.member::regrole || ' in ' || {r}.roleid::regrole",
    "pg_replication_origin": "'replication origin ' || {r}.roname",
    "pg_shseclabel": "'security label'",
}

#: columns of a row's key that those names leave out
NOT_IN_NAME = ("pg_auth_members.grantor",)

#: whose names the server writes by a cast
CASTS: Mapping[str, str] = {
    "pg_class": "regclass",
    "pg_type": "regtype",
    "pg_proc": "regprocedure",
    "pg_operator": "regoperator",
    "pg_namespace": "regnamespace",
    "pg_authid": "regrole",
    "pg_collation": "regcollation",
    "pg_ts_config": "regconfig",
    "pg_ts_dict": "regdictionary",
}

#: what a missing list of grants stands for, by the letter of `acldefault`, so that one that is written out is the same
DEFAULT_GRANTS: Mapping[str, str] = {
    "pg_class": "CASE {r}.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\"",
    "pg_proc": "'f'",
    "pg_namespace": "'n'",
    "pg_type": "'T'",
    "pg_language": "'l'",
    "pg_database": "'d'",
    "pg_tablespace": "'t'",
    "pg_foreign_data_wrapper": "'F'",
    "pg_foreign_server": "'S'",
}

#: numbers of columns of a relation, for which pg_get_catalog_foreign_keys() has no entry
COLUMN_NUMBERS: Mapping[str, str] = {"pg_publication_rel.prattrs": "prrelid", "pg_constraint.confdelsetcols": "conrelid"}

#: which rows count, beside those that somebody made; and what of those does not
ALSO: Mapping[str, str] = {
    "pg_namespace": "{r}.nspname = 'public'",
    "pg_database": "{r}.datname = current_database()",
    "pg_extension": "true",
    "pg_language": "true",
    "pg_db_role_setting": "true",
    "pg_authid": "{r}.rolname !~ '^pg_'",
    "pg_auth_members": "true",
    "pg_parameter_acl": "true",
    "pg_replication_origin": "true",
    "pg_tablespace": "true",
}
ONLY: Mapping[str, str] = {
    "pg_attribute": "{r}.attnum > 0 AND NOT {r}.attisdropped AND EXISTS (SELECT FROM pg_class c WHERE c.oid = {r}.attrelid AND"
    " c.relkind <> 'S' AND (c.relkind NOT IN ('i', 'I') OR coalesce({r}.attstattarget, -1) <> -1 OR {r}.attoptions IS NOT NULL))",
    "pg_database": "{r}.datname = current_database()",
    "pg_db_role_setting": "{r}.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))",
    "pg_subscription": "{r}.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
    # a subscription makes its own
    "pg_replication_origin": "{r}.roname !~ '^pg_[0-9]+$'",
    # the row type of a relation follows from it, and so does the array of a type
    "pg_type": "({r}.typtype <> 'c' OR {r}.typacl IS NOT NULL OR EXISTS (SELECT FROM pg_class c WHERE c.oid = {r}.typrelid AND"
    " c.relkind = 'c') OR EXISTS (SELECT FROM pg_description d WHERE d.classoid = 'pg_type'::regclass AND d.objoid = {r}.oid))"
    " AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = {r}.oid)",
    "pg_class": "{r}.relkind <> 't'",
}

#: server-wide catalogs of which one part is the database's own
OF_THE_DATABASE = ("pg_database", "pg_db_role_setting", "pg_subscription")

#: which rows of a catalog of the database are the whole server's all the same
SHARED_ROWS: Mapping[str, str] = {"pg_db_role_setting": "{r}.setdatabase = 0"}

#: what shows nearly the same to a role that may not read the catalog
INSTEAD: Mapping[str, str] = {"pg_authid": "pg_roles"}

#: (catalog, object, column) of what is said about an object in a catalog of its own, and how it is said
ABOUT: Mapping[str, tuple[str, str, str, str]] = {
    "pg_description": ("classoid", "objoid", "objsubid", "'comment ' || {r}.description"),
    "pg_seclabel": ("classoid", "objoid", "objsubid", "'security label of ' || {r}.provider || ' ' || {r}.label"),
    "pg_shdescription": ("classoid", "objoid", "0", "'comment ' || {r}.description"),
    "pg_shseclabel": ("classoid", "objoid", "0", "'security label of ' || {r}.provider || ' ' || {r}.label"),
    # what else depends on what follows from definitions
    "pg_depend": (
        "classid",
        "objid",
        "objsubid",
        (
            "CASE {r}.deptype WHEN 'e' THEN 'member of ' WHEN 'x' THEN 'goes with ' ELSE 'owned by ' END ||"
            " (SELECT concat_ws(' ', type, identity) FROM pg_identify_object({r}.refclassid, {r}.refobjid, {r}.refobjsubid))"
        ),
    ),
}
ONLY_ABOUT: Mapping[str, str] = {
    "pg_depend": "({r}.deptype IN ('e', 'x') OR {r}.deptype IN ('a', 'i') AND {r}.refobjsubid > 0 AND {r}.classid ="
    " 'pg_class'::regclass"
    " AND {r}.objid IN (SELECT seqrelid FROM pg_sequence))",
    # by which gonogo knows its own copies again: a copy is compared with what it is a copy of
    "pg_shdescription": "({r}.classoid <> 'pg_database'::regclass OR {r}.objoid = (SELECT oid FROM pg_database WHERE datname ="
    " current_database()) AND NOT starts_with({r}.description, 'scratch of process '))",
    "pg_shseclabel": "({r}.classoid <> 'pg_database'::regclass OR {r}.objoid = (SELECT oid FROM pg_database WHERE datname ="
    " current_database()))",
}

#: what a column is called, where its name without its catalog's prefix says too little
WORDS: Mapping[str, str] = {
    "pg_attribute.atttypid": "type",
    "pg_attribute.attnotnull": "not null",
    "pg_attribute.attstattarget": "statistics target",
    "pg_attribute.attislocal": "defined here",
    "pg_attribute.attinhcount": "inherited from",
    "pg_attribute.attnum": "number",
    "pg_attrdef.adbin": "default",
    "pg_class.relam": "access method",
    "pg_class.relkind": "kind",
    "pg_class.relrowsecurity": "row security",
    "pg_class.relforcerowsecurity": "row security forced",
    "pg_class.relreplident": "replica identity",
    "pg_class.reltoastrelid": "toast options",
    "pg_class.relpartbound": "partition",
    "pg_class.relispartition": "is a partition",
    "pg_class.relispopulated": "populated",
    "pg_class.relisshared": "shared",
    "pg_constraint.contype": "definition",
    "pg_constraint.convalidated": "valid",
    "pg_constraint.conislocal": "defined here",
    "pg_constraint.coninhcount": "inherited from",
    "pg_index.indkey": "definition",
    "pg_index.indisvalid": "valid",
    "pg_index.indisready": "ready",
    "pg_index.indisclustered": "clustered",
    "pg_index.indisreplident": "is the replica identity",
    "pg_inherits.inhparent": "inherits",
    "pg_proc.prosrc": "source",
    "pg_proc.prorettype": "returns",
    "pg_policy.polqual": "using",
    "pg_policy.polwithcheck": "with check",
    "pg_policy.polcmd": "command",
    "pg_rewrite.ev_action": "definition",
    "pg_rewrite.ev_enabled": "enabled",
    "pg_trigger.tgtype": "definition",
    "pg_type.typbasetype": "base type",
    "pg_type.typnotnull": "not null",
    "pg_db_role_setting.setconfig": "settings",
    "pg_enum.enumlabel": "label",
    "pg_database.datdba": "owner",
    "pg_trigger.tgfoid": "function",
    "pg_event_trigger.evtfoid": "function",
    "pg_index.indisprimary": "primary key",
    "pg_partitioned_table.partattrs": "partition key",
}

#: what a column nearly always says, and is left out for
USUAL: Mapping[str, tuple[str, ...]] = {
    "pg_attribute.attislocal": ("true",),
    "pg_class.relispopulated": ("true",),
    "pg_class.relpersistence": ("p",),
    "pg_class.relkind": ("r", "i", "v", "S", "c", "f"),
    "pg_class.relam": ("heap", "btree"),
    "pg_constraint.convalidated": ("true",),
    "pg_constraint.conislocal": ("true",),
    "pg_constraint.conenforced": ("true",),
    "pg_database.datallowconn": ("true",),
    "pg_database.datconnlimit": ("-1",),
    "pg_index.indisvalid": ("true",),
    "pg_index.indisready": ("true",),
    "pg_index.indislive": ("true",),
    "pg_index.indimmediate": ("true",),
    "pg_proc.prokind": ("f",),
    "pg_rewrite.ev_enabled": ("O",),
    "pg_trigger.tgenabled": ("O",),
    "pg_type.typisdefined": ("true",),
}
