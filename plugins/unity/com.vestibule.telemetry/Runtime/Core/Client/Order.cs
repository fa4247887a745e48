namespace Vestibule
{
    internal enum OrderKind
    {
        Pair,
        TakeFile,
        Start,
        Pause,
        Resume,
        Stop,
        Close,
    }

    /// <summary>What the app asks of the worker.</summary>
    internal sealed class Order
    {
        private Order(OrderKind kind, string text = "", string name = "", int waitMs = 0, bool flag = false)
        {
            Kind = kind;
            Text = text;
            Name = name;
            WaitMs = waitMs;
            SayBye = flag;
        }

        public OrderKind Kind { get; }

        public string Text { get; }

        public string Name { get; }

        public int WaitMs { get; }

        public bool SayBye { get; }

        public static Order Pair(string text, string name) => new Order(OrderKind.Pair, text, name);

        public static Order TakeFile(string path) => new Order(OrderKind.TakeFile, path);

        public static Order Start() => new Order(OrderKind.Start);

        public static Order Resume() => new Order(OrderKind.Resume);

        public static Order Cease(OrderKind kind, string reason) => new Order(kind, reason);

        public static Order Close(int waitMs, bool sayBye) => new Order(OrderKind.Close, "", "", waitMs, sayBye);
    }
}
