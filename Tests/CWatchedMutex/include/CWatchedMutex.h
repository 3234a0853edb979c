// Nothing to call: being linked is enough. See CWatchedMutex.c.
