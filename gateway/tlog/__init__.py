"""C2SP transparency logs, about one module for each specification. Pure; knows nothing of VR."""
