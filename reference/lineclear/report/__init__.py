"""Tables, pages and pictures made from results."""
