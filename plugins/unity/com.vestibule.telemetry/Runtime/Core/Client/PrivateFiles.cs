using System;
using System.IO;
using System.Runtime.InteropServices;

namespace Vestibule
{
    /// <summary>
    /// Files that other users of the same machine must not read: keys, and packets that were sealed with them. Windows and
    /// the sandboxes of headsets see to it by the folder; Linux and macOS by the mode, which .NET Standard 2.1 cannot set.
    /// </summary>
    internal static class PrivateFiles
    {
        private const uint OwnFolder = 0x1C0; // rwx------
        private const uint OwnFile = 0x180; // rw-------

        /// <summary>Makes a folder, and makes it private if it was not there. One that was there is its owner's business.</summary>
        /// <exception cref="IOException">It cannot be made.</exception>
        public static void MakeFolder(string path)
        {
            if (!Directory.Exists(path))
            {
                Directory.CreateDirectory(path);
                Mode(path, OwnFolder);
            }
        }

        /// <summary>Makes a file private.</summary>
        public static void Close(string path) => Mode(path, OwnFile);

        private static void Mode(string path, uint mode)
        {
            if (Path.DirectorySeparatorChar == '\\')
            {
                return;
            }

            try
            {
                ChangeMode(path, mode);
            }
            catch (Exception error) when (error is DllNotFoundException || error is EntryPointNotFoundException)
            {
                // A platform without it: its sandbox has to do.
            }
        }

        [DllImport("libc", EntryPoint = "chmod")]
        private static extern int ChangeMode([MarshalAs(UnmanagedType.LPStr)] string path, uint mode);
    }
}
