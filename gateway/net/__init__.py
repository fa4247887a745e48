"""The network: thin edges that turn bytes into arrivals and effects into bytes. They decide nothing."""
