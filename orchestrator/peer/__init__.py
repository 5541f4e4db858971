"""Other replicas, as this one calls them."""
