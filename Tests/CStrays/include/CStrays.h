// Tells whether code that runs on this thread has handed a job to Swift's global executor.
#pragma once

/// From now on such jobs of this thread are counted, until `martlet_strays_end` answers how many they were.
void martlet_strays_begin(void);
int martlet_strays_end(void);
