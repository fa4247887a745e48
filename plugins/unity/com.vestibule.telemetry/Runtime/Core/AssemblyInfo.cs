using System.Runtime.CompilerServices;

// The vectors are checked against the parts, not only against what an app sees.
[assembly: InternalsVisibleTo("Vestibule.Core.Tests")]
