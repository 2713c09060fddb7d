DROP TRIGGER orders_email ON orders;
DROP TRIGGER orders_category ON orders;
DROP FUNCTION category_is_own();
