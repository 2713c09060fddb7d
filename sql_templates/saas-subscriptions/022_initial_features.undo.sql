DROP TRIGGER begin_with_features ON stripe_products;
DROP FUNCTION begin_with_features();
DROP FUNCTION quote_limit_of(text);
DELETE FROM product_features WHERE feature_key = 'quotes_limit';
