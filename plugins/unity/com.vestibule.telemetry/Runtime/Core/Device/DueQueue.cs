namespace Vestibule
{
    /// <summary>Packets that wait equally long for their resend, so that they are in order by themselves.</summary>
    internal sealed class DueQueue
    {
        public Held Head { get; private set; }

        private Held Tail { get; set; }

        public void Add(Held held)
        {
            held.Queue = this;
            held.Sooner = Tail;
            held.Later = null;
            if (Tail == null)
            {
                Head = held;
            }
            else
            {
                Tail.Later = held;
            }

            Tail = held;
        }

        public void Remove(Held held)
        {
            if (held.Sooner == null)
            {
                Head = held.Later;
            }
            else
            {
                held.Sooner.Later = held.Later;
            }

            if (held.Later == null)
            {
                Tail = held.Sooner;
            }
            else
            {
                held.Later.Sooner = held.Sooner;
            }

            held.Queue = null;
            held.Sooner = held.Later = null;
        }
    }
}
