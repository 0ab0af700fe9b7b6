"""What people and programs see besides images: pages, the viewer's files, the staff API."""
