def main() -> None:
    from farthing.cli import main as run

    run()


if __name__ == "__main__":
    main()
