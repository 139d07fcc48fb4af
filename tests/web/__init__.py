"""The page and all that is served beside it, over real sockets."""
