// Names that a user's code or a system header has as macros. A header of moesaic that uses one of them does not compile below this line.
// T, M, L, G and the like are not here: our templates name their parameters so, as everybody's do.
#define I @        // complex.h
#define B0 @       // termios.h
#define small @    // Windows
#define near @     // Windows
#define far @      // Windows
#define None @     // X11
#define Bool @     // X11
#define Status @   // X11
#define Success @  // X11
#define ERROR @
#define CHECK @
#define N @
#define K @
#define E @
#define H @
