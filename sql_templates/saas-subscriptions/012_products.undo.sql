DROP TRIGGER mirror_product ON stripe_products_old;
DROP FUNCTION mirror_product();
DROP VIEW products;
DROP TABLE stripe_products, product_categories;
ALTER TABLE stripe_products_old RENAME TO products;
