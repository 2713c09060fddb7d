DROP TABLE product_features;
