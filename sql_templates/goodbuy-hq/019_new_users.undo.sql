DROP TRIGGER subscribe_new_user ON users;
DROP FUNCTION subscribe_new_user();
