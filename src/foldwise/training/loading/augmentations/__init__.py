"""Kinds of augmentation; nothing heavy is loaded before they are used."""
