"""Where records live: the `Store` promise and the stores that keep it. Stores hold no rules."""
