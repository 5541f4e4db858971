"""What goes over the wire of the public API: one struct for each body, query and answer. The API and the client share them."""
