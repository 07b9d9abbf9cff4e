"""Learn Hamiltonians with the symmetries you choose, and see what they conserve."""
