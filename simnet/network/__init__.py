"""Networks: links, and what it takes to move bytes over them."""
