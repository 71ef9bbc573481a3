"""Which runs are made, what each trains on, and the windows that all are measured on."""
