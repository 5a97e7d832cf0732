"""The image tower: pictures become patches, patches features, features readings. Knows no file and no patient."""
