DELETE FROM product_features WHERE feature_key = 'quotes_limit';
