"""What a detector and its guard are: the protocols, the verdict, the threshold from clean images."""
