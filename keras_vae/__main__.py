"""`python -m keras_vae`: the command line where its script is not on the path."""

from keras_vae.cli import main

if __name__ == "__main__":
    main()
