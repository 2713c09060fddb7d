DROP FUNCTION same_rights(regclass, regclass);
