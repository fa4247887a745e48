namespace Vestibule
{
    /// <summary>What kind of thing happened.</summary>
    public enum ClientEventKind
    {
        /// <summary><see cref="ClientEvent.State"/> is new.</summary>
        State,

        /// <summary>The gateway asks the app for something: <see cref="ClientEvent.Command"/>.</summary>
        Command,

        /// <summary>The device was paired, or took a key file: <see cref="ClientEvent.Device"/>.</summary>
        Paired,

        /// <summary>Something is wrong at the device itself: <see cref="ClientEvent.Words"/> says what to do.</summary>
        Trouble,
    }

    /// <summary>Something that the app should hear of; taken with <see cref="VestibuleClient.TryDequeue"/>.</summary>
    public sealed class ClientEvent
    {
        internal ClientEvent(
            ClientEventKind kind,
            VisibleState state = null,
            ClientCommand command = null,
            uint device = 0,
            string words = "")
        {
            Kind = kind;
            State = state;
            Command = command;
            Device = device;
            Words = words;
        }

        /// <summary>Which of the members below is set.</summary>
        public ClientEventKind Kind { get; }

        /// <summary>The new state, with <see cref="ClientEventKind.State"/>; else null.</summary>
        public VisibleState State { get; }

        /// <summary>The command, with <see cref="ClientEventKind.Command"/>; else null.</summary>
        public ClientCommand Command { get; }

        /// <summary>The device's number, with <see cref="ClientEventKind.Paired"/>; else 0.</summary>
        public uint Device { get; }

        /// <summary>A sentence, with <see cref="ClientEventKind.Trouble"/>; else empty.</summary>
        public string Words { get; }
    }

    /// <summary>
    /// A command within the limits of SPEC, "Commands": <c>haptic</c>, <c>text</c> or <c>marker</c>. The app carries it
    /// out and records it; members that the verb does not have are 0 or empty.
    /// </summary>
    public sealed class ClientCommand
    {
        internal ClientCommand(string verb, uint link, ulong seq)
        {
            Verb = verb;
            Link = link;
            Seq = seq;
        }

        /// <summary><c>haptic</c>, <c>text</c> or <c>marker</c>.</summary>
        public string Verb { get; }

        /// <summary>The link it came on.</summary>
        public uint Link { get; }

        /// <summary>Its number; each is told once.</summary>
        public ulong Seq { get; }

        /// <summary>haptic: 1 left, 2 right, or what the options name.</summary>
        public byte Target { get; internal set; }

        /// <summary>haptic: 0..1.</summary>
        public double Amplitude { get; internal set; }

        /// <summary>haptic: 0..10,000; 0 is the shortest the actuator can make.</summary>
        public int DurationMs { get; internal set; }

        /// <summary>haptic: 0 (the actuator chooses) or 1..1,000.</summary>
        public double FrequencyHz { get; internal set; }

        /// <summary>text, marker: at most 512 bytes of UTF-8, plain text.</summary>
        public string Text { get; internal set; } = "";

        /// <summary>marker: the app's own number.</summary>
        public ushort Code { get; internal set; }
    }
}
