"""The command line: thin commands over the daemon's control socket and, where no daemon is needed, over the store.

Standard output carries data, standard error everything else. Commands raise the errors of the house, and `main` has
the one way out that words them and turns them into exit codes.
"""
