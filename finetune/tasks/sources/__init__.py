"""Where rows come from, one file each: the hub, local files, made reviews."""
