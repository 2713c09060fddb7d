-- As who asks by the old name does: the view first, and then its table.
LOCK TABLE products, stripe_products IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER mirror_product ON stripe_products_old;
DROP FUNCTION mirror_product();
DROP FUNCTION tier_of(jsonb);
DROP VIEW products;
DROP TABLE stripe_products, product_categories;
ALTER TABLE stripe_products_old RENAME TO products;
