"""``plainsql marketplace``: the commands of the marketplace layer, found through an entry point."""
