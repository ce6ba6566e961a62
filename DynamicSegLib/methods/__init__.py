"""The published methods: how each assembles a bank and a router."""
