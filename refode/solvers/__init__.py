"""The former place of refode.ode and refode.sweeps."""
