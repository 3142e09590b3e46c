"""How each container of sounds says where its samples are, and whether they are there to the end."""
