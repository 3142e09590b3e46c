"""What a clip is made into before an encoder hears it: a file for each kind of clip policy."""
