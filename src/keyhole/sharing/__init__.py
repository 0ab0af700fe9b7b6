"""What a link is: secrets, visits, viewers. Pure."""
