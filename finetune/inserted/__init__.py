"""What methods insert into a frozen model: adapters, low-rank updates, virtual tokens, a layer mix."""
