using System;
using System.Collections.Generic;
using System.IO;

namespace Vestibule.Tests
{
    /// <summary>
    /// Does again what a trace says (tests/engines/traces.py), and stops at the first difference:
    /// <c>Vestibule.Core.Tests.exe trace FILE...</c>; a line a file, exit code 1 when one differs.
    /// </summary>
    internal static class Trace
    {
        public static int Play(IEnumerable<string> files)
        {
            var differ = 0;
            foreach (var file in files)
            {
                var at = 0;
                try
                {
                    TracePlayer player = null;
                    foreach (var text in File.ReadLines(file))
                    {
                        at++;
                        var line = Json.Parse(text);
                        if (line.Has("config"))
                        {
                            player = new TracePlayer(line["config"]);
                        }
                        else
                        {
                            player.Step(line);
                        }
                    }

                    Console.WriteLine("ok " + Path.GetFileName(file) + " " + at + " lines");
                }
                catch (Exception error)
                {
                    differ++;
                    Console.WriteLine("DIFFERS " + Path.GetFileName(file) + " line " + at + ": " + (error is DifferException ? error.Message : error.ToString()));
                }
            }

            return differ == 0 ? 0 : 1;
        }
    }

    /// <summary>What a machine did is not what the trace says.</summary>
    internal sealed class DifferException : Exception
    {
        public DifferException(string message)
            : base(message)
        {
        }
    }
}
