"""Outside: MercadoPago."""
