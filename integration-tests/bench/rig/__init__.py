"""What a benchmark run needs: engines, our services, peers, the load generator, the table."""
