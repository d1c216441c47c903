"""All kinds of calls while the network, the server and the callers fail, checked independently."""
