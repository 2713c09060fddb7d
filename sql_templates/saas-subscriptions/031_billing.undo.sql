DROP TABLE payments, invoices;
