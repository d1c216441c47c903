"""What ``plainsql demo`` plays, one module a layer."""
